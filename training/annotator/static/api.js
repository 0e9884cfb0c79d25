// The connection to the server: frames and masks by fetch, everything else by one websocket.
// The token is in the address's fragment, which browsers do not send; it is sent in headers only.
const token = location.hash.slice(1);
let socket = null;
let number = 0;
const waiting = new Map();
let answered = 0;
export const listeners = new Set(); // called with each message that is no answer

// A refusal by the server, with its reason; a lost connection is another error.
export class Refused extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

async function fetched(path, about) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, ...about });
  if (!answer.ok) throw new Refused(await answer.text(), answer.status);
  return answer;
}
export const get = (path, signal) => fetched(path, { signal });
export const putMask = (frame, file) => fetched(`/api/mask/${frame}`, { method: "PUT", body: file });

// Send a request. The promise resolves to the server's answer, or is rejected with the reason of a refusal.
export function ask(request) {
  return new Promise((resolve, reject) => {
    if (socket?.readyState !== WebSocket.OPEN) return reject(new Error("the program cannot be reached"));
    number += 1;
    waiting.set(number, { resolve, reject });
    socket.send(JSON.stringify({ id: number, ...request }));
  });
}

export const answers = () => answered;
export const pending = () => waiting.size;
export const act = (action) => ask({ action });

// Whether a server answers that refuses this page's token: a later run of the program at the same port.
export const isLaterRun = () => get("/api/mask/0").then(() => false, (error) => error.status === 403);

export function connect() {
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/socket`;
  socket = new WebSocket(address, ["annotate", `token.${token}`]);
  socket.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if ("answer" in news) {
      const asked = waiting.get(news.answer);
      waiting.delete(news.answer);
      answered += 1;
      if (asked) news.error ? asked.reject(new Error(news.error)) : asked.resolve(news.done);
    } else for (const listener of listeners) listener(news);
  };
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error("the connection was lost"));
    waiting.clear();
    for (const listener of listeners) listener({ gone: true });
    setTimeout(connect, 1500);
  };
}
