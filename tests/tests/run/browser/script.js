// What a task's page does in a browser; each result is a line of the page.
"use strict";
const tell = (name, value) => {
  document.getElementById("told").textContent += `${name}: ${value}\n`;
};
const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
const sum = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));

async function fetches() {
  const echo = await (await fetch("/echo/a%20b?q=%C3%A9%2F", { headers: { "X-Own": "1" } })).json();
  tell("echo", `${echo.method} ${echo.path} ${echo.cookie}`);
  const posted = await (await fetch("/echo/post", { method: "POST", body: "schöner Tag €" })).json();
  tell("posted", `${posted.method} ${posted.body}`);
  const moved = await fetch("/moved");
  tell("moved", `${moved.redirected} ${(await moved.json()).path}`);
  const missing = await fetch("/no");
  tell("missing", `${missing.status} ${await missing.text()}`);
  const pieces = await (await fetch("/pieces")).text();
  tell("pieces", await sum(new TextEncoder().encode(pieces)));
  tell("big", await sum(await (await fetch("/big")).arrayBuffer()));
  const numbers = Array.from({ length: 40 }, (_, number) => number);
  const asked = numbers.map(async (number) => (await (await fetch(`/echo/${number}`)).json()).path);
  tell("many", (await Promise.all(asked)).every((path, number) => path === `/echo/${number}`));
}

async function socket() {
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  const arrived = [];
  let wake;
  socket.onmessage = (event) => {
    arrived.push(event.data);
    wake?.();
  };
  const next = async () => {
    while (!arrived.length) {
      await new Promise((resolve, reject) => {
        wake = resolve;
        socket.onerror = socket.onclose = () => reject(new Error("the socket has ended"));
      });
    }
    return arrived.shift();
  };
  tell("socket", `knows ${await next()}`);
  socket.send("ein schöner Text €");
  tell("text", await next());
  const bytes = Uint8Array.from({ length: 100000 }, (_, at) => (at * 7) >> 3);
  socket.send(bytes);
  tell("bytes", (await sum(await next())) === (await sum(bytes)));
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  socket.close(1000);
  await closed;
  tell("closed", "yes");
}

(async () => {
  document.cookie = "own=browser";
  tell("cookies", document.cookie.split("; ").sort().join(" "));
  try {
    await fetches();
    await socket();
    tell("end", "all done");
  } catch (error) {
    tell("error", `${error}`);
  }
  await fetch("/done", { method: "POST", body: "" });
})();
