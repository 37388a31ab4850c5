/** A server that is nobody's: whoever says more than a little is hung up on with an answer, everybody else after 15 s. */
import { createServer, type AddressInfo } from "node:net";
import { constants, setPriority } from "node:os";

const aLittle = 1000;
const patienceMs = 15_000;
const answer = "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

// As the one who floods it, it gets what nobody else wants of this machine.
setPriority(constants.priority.PRIORITY_LOW);
const server = createServer((socket) => {
  let read = 0;
  const patience = setTimeout(() => socket.destroy(), patienceMs);
  socket.once("close", () => clearTimeout(patience)).on("error", () => undefined);
  socket.on("data", (part) => {
    read += part.length;
    if (read > aLittle && socket.writable) socket.end(answer).destroySoon();
  });
});
server.listen(0, "127.0.0.1", () => process.send?.({ ready: String((server.address() as AddressInfo).port) }));
