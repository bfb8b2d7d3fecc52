/** Scripts for the machine's Node.js: a server that answers each datagram with its host's name, and a client that prints an answer. */

/** Listens on 8081. */
export const UDP_SERVER = `
  const socket = require("dgram").createSocket("udp4");
  socket.on("message", (_, from) => socket.send(require("os").hostname(), from.port, from.address));
  socket.bind(8081);
  process.on("SIGTERM", () => process.exit(0));`;

/** Ends with 1 where nobody answers within a second. */
export function udpClient(host: string, port: number): string {
  return `
  const socket = require("dgram").createSocket("udp4");
  socket.on("message", (text) => { console.log(String(text)); process.exit(0); });
  socket.on("error", () => process.exit(1));
  socket.send("hello", ${port}, ${JSON.stringify(host)});
  setTimeout(() => process.exit(1), 1000);`;
}
