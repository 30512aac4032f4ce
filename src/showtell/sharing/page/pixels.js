// From a picture file to the bytes that an encoder sees, to the bit as Python makes them: torch resizes what is stretched,
// Pillow what is cropped or padded, and both by the same sums of integers, which differ in their precision alone.
const MOST_PIXELS = 16_000_000; // of a canvas on some phones
const FILTERS = {
  box: [.5, x => (x > -.5 && x <= .5 ? 1 : 0)],
  bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, x => (x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : Math.sin(Math.PI * x) / (Math.PI * x) * (.54 + .46 * Math.cos(Math.PI * x)))],
  bicubic: [2, x => {
    x = Math.abs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-.5 * x + 2.5) * x - 4) * x + 2 : 0;
  }],
  lanczos: [3, x => (x === 0 ? 1 : Math.abs(x) >= 3 ? 0 : sinc(x) * sinc(x / 3))],
};
const sinc = x => Math.sin(Math.PI * x) / (Math.PI * x);
const PILLOW_BITS = 22;

// An upright picture as RGB bytes, what is transparent on white; a very large one is read smaller.
export async function pixelsOf(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${blob.name || "This file"} is no picture that this browser can read; save it as JPEG or PNG.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * shrink)), height = Math.max(1, Math.floor(bitmap.height * shrink));
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = "#fff";
  canvas.fillRect(0, 0, width, height);
  canvas.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const rgba = canvas.getImageData(0, 0, width, height).data, data = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < data.length; from += 4) {
    data[to++] = rgba[from];
    data[to++] = rgba[from + 1];
    data[to++] = rgba[from + 2];
  }
  return { data, width, height };
}

// The square `(size, size, 3)` that an encoder sees, and which part of the picture it is: left, top, width, height.
export function fitted(picture, { size, interpolation, fit, crop, mean }) {
  if (fit === "stretch") return { data: new Uint8Array(resized(picture, size, size, interpolation).data), view: [0, 0, 1, 1] };
  const { width, height } = picture, around = Math.floor(size / crop + 1e-6);
  let wide = around, high = around;
  if (fit === "pad") {
    const ratio = Math.max(height / around, width / around);
    [wide, high] = [Math.max(1, round(width / ratio)), Math.max(1, round(height / ratio))];
  } else if (fit === "center") {
    if (width <= height) high = Math.floor(around * height / width);
    else wide = Math.floor(around * width / height);
  }
  const small = resized(picture, wide, high, interpolation, PILLOW_BITS);
  const [left, top] = [wide, high].map(one => (one >= size ? round((one - size) / 2) : -Math.floor((size - one) / 2)));
  const data = new Uint8Array(3 * size * size), ground = mean.map(value => round(255 * value));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const inside = x + left >= 0 && x + left < wide && y + top >= 0 && y + top < high;
      const from = 3 * ((y + top) * wide + x + left);
      for (let c = 0; c < 3; c++) data[3 * (y * size + x) + c] = inside ? small.data[from + c] : ground[c];
    }
  }
  return { data, view: [left / wide, top / high, size / wide, size / high] };
}

// To the nearest integer, halves to the even one, as Python does.
function round(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < .5 || (rest === .5 && low % 2 === 0) ? low : low + 1;
}

function resized({ data, width, height }, wide, high, kind, bits) {
  const across = weights(width, wide, kind, bits), down = weights(height, high, kind, bits);
  // Pillow (13; found by trying) begins with the height where that loses twice as many pixels
  if (bits && high < height && height - high > 2 * (width - wide)) {
    const low = summed(data, down, width, 3, 3 * width, 3, 3 * width);
    return { data: summed(low, across, high, 3 * width, 3, 3 * wide, 3), width: wide, height: high };
  }
  const middle = summed(data, across, height, 3 * width, 3, 3 * wide, 3);
  return { data: summed(middle, down, wide, 3, 3 * wide, 3, 3 * wide), width: wide, height: high };
}

// Along one axis: of each of `lines` lines, `line` apart, the weighted sums of pixels that lie `pixel` apart.
function summed(data, { windows, bits }, lines, line, pixel, newLine, newPixel) {
  const out = new Uint8ClampedArray(3 * lines * windows.length), half = bits ? 1 << (bits - 1) : 0;
  for (let row = 0; row < lines; row++) {
    windows.forEach(({ first, fixed }, place) => {
      for (let c = 0; c < 3; c++) {
        let sum = half, from = row * line + first * pixel + c;
        for (let i = 0; i < fixed.length; i++, from += pixel) sum += fixed[i] * data[from];
        out[row * newLine + place * newPixel + c] = sum >> bits;
      }
    });
  }
  return out;
}

// For each of `size` new places the first old one that counts, and integers of so many bits.
function weights(old, size, kind, bits) {
  const [reach, filter] = FILTERS[kind], scale = old / size, wide = Math.max(scale, 1);
  const windows = [];
  let most = 0;
  for (let place = 0; place < size; place++) {
    const center = scale * (place + .5);
    const first = Math.max(0, Math.trunc(center - reach * wide + .5)), last = Math.min(old, Math.trunc(center + reach * wide + .5));
    const shares = Array.from({ length: last - first }, (_, i) => filter((first + i - center + .5) / wide));
    const total = shares.reduce((sum, share) => sum + share, 0);
    const parts = shares.map(share => share / total);
    most = Math.max(most, ...parts);
    windows.push({ first, parts });
  }
  if (bits === undefined) for (bits = 0; bits < PILLOW_BITS && Math.trunc(.5 + most * 2 ** (bits + 1)) < 2 ** 15; bits++);
  return { bits, windows: windows.map(({ first, parts }) => ({ first, fixed: Int32Array.from(parts, one => Math.trunc(one * 2 ** bits + (one < 0 ? -.5 : .5))) })) };
}
