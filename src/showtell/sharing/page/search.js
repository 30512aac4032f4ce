// Beam search as Showtell's, of which a beam of one is greedy decoding, and words joined to a text.
const START = 0, END = 1, UNK = 2;

// The rows of a tensor.
function gathered(tensor, rows, rebuilt) {
  const width = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
  const data = new tensor.data.constructor(rows.length * width);
  rows.forEach((row, i) => data.set(tensor.data.subarray(row * width, (row + 1) * width), i * width));
  return rebuilt(tensor, data, [rows.length, ...tensor.dims.slice(1)]);
}

function obey(allowed, words, rules) {
  const length = words.length, size = rules.block_ngram;
  if (length === rules.max_length) {
    const end = allowed[END];
    allowed.fill(-Infinity)[END] = end;
    return;
  }
  for (let start = 0; size && start + size <= length; start++) {
    const same = words.slice(start, start + size - 1).every((word, i) => word === words[length - size + 1 + i]);
    if (same) allowed[words[start + size - 1]] = -Infinity;
  }
  allowed[START] = allowed[UNK] = -Infinity;
  if (length < rules.min_length && allowed.subarray(UNK + 1).some(value => value > -Infinity)) allowed[END] = -Infinity;
}

// The best continuations of all live captions: {row, word, key}, by key and then by row and word.
function best(allowed, totals, count) {
  const chosen = [];
  allowed.forEach((row, place) => {
    for (let word = 0; word < row.length; word++) {
      const key = Math.fround(totals[place] + row[word]);
      if (key === -Infinity || (chosen.length === count && key <= chosen[count - 1].key)) continue;
      let at = chosen.length;
      while (at && chosen[at - 1].key < key) at--;
      chosen.splice(at, 0, { row: place, word, key });
      chosen.length = Math.min(chosen.length, count);
    }
  });
  return chosen;
}

// From `steps` (inputs to outputs of decoder_step) and the state after the picture to the captions, best first, each with
// its tokens, the log-probability of each and of the end, and the weights on the regions, where there are any.
export async function search(steps, state, rules, rebuilt) {
  const count = Math.min(rules.beam_size, rules.num_captions), power = rules.length_penalty;
  let live = [{ tokens: [], logs: [], maps: [] }], totals = [0], tokens = [START], found = [];
  for (let length = 1; length <= rules.max_length + 1; length++) {
    const said = await steps({ tokens, ...state });
    const size = said.log_probs.dims[1];
    const allowed = live.map(({ tokens: words }, row) => {
      const own = said.log_probs.data.slice(row * size, (row + 1) * size);
      obey(own, words, rules);
      return own;
    });
    const places = best(allowed, totals, rules.beam_size), next = [];
    for (const { row, word, key } of places) {
      const before = live[row], regions = said.attention?.dims[1];
      const weights = said.attention && Array.from(said.attention.data.subarray(row * regions, (row + 1) * regions));
      const longer = { tokens: [...before.tokens, word], logs: [...before.logs, allowed[row][word]], maps: [...before.maps, weights], row, key };
      if (word === END) found.push({ ...longer, tokens: before.tokens, score: Math.fround(key / Math.fround(length ** power)) });
      else next.push(longer);
    }
    found = found.sort((a, b) => b.score - a.score).slice(0, count); // stable: of equal ones the earlier
    const worst = found.length === count ? found[count - 1].score : -Infinity;
    if (!next.length || worst >= Math.max(...next.map(one => one.key)) / (rules.max_length + 1) ** power) break;
    [live, totals, tokens] = [next, next.map(one => one.key), next.map(one => one.tokens.at(-1))];
    const rows = next.map(one => one.row);
    state = Object.fromEntries(Object.keys(state).map(name => [name, gathered(said[`next_${name}`] || state[name], rows, rebuilt)]));
  }
  return found;
}

export const wordOf = (token, told) => told.shown[token] ?? told.words[token];

export function textOf(tokens, told) {
  const letters = tokens.flatMap(token => [...told.words[token]]), { bytes } = told;
  if (Object.keys(bytes).length) return new TextDecoder().decode(Uint8Array.from(letters, letter => bytes[letter])).trim();
  const { before, after, apart, goes_on, whole } = told.glued, words = [];
  for (const token of tokens) {
    if (words.length && goes_on.includes(token)) words.at(-1).push(token);
    else words.push([token]);
  }
  return words.map((word, i) => {
    const left = words[i - 1]?.at(-1), right = word[0], shown = word.map(one => wordOf(one, told)).join("");
    const tight = (before.includes(right) || after.includes(left)) && !apart.some(([l, r]) => l === left && r === right);
    return Object.hasOwn(whole, shown) ? whole[shown] : (tight ? "" : " ") + shown;
  }).join("").trimStart();
}
