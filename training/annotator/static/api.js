// The server: frames and masks by fetch, everything else by one websocket.
// The token is in the address's fragment, which no browser sends; it travels in headers only.
const token = location.hash.slice(1);
let socket = null;
let number = 0;
const waiting = new Map();
let answered = 0;
export const listeners = new Set(); // called with each piece of news

export async function get(path, signal) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, signal });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

export async function putMask(frame, file) {
  const answer = await fetch(`/api/mask/${frame}`, { method: "PUT", body: file, headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(await answer.text());
}

// Ask for something; the promise ends with the server's answer, or its refusal.
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
