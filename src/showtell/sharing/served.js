// What the page knows of a model (see page.js), here one behind the server that the page came from.
export async function load() {
  return { ...await (await fetch("about.json")).json(), local: false };
}

export async function caption(blob) {
  let answer;
  try {
    answer = await (await fetch("caption", { method: "POST", body: blob })).json();
  } catch {
    throw new Error("The server does not answer; is it still running?");
  }
  if (answer.error) throw new Error(answer.error);
  return answer;
}
