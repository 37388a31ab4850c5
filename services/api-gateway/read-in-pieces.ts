import { Socket, type Server, type SocketConstructorOpts } from "node:net";

/** One for all: what is in it is copied before anybody else is read. More than headers may have: one piece tells. */
const buffer = Buffer.allocUnsafe(10 * 1024);

/** What Node has behind a socket, without types: the connection itself, and the server that counts it. */
export type Accepted = Socket & { _handle: unknown; _server: Server | null };

/**
 * Takes an accepted connection over. Node reads 64 KB of whoever has something to say, all in one turn of the event loop
 * and each into new memory (0.15 ms a connection, and a collection of garbage for a hundred); this socket is read 10 KB at
 * the most, and then not before its next `read(0)`.
 * @param accepted an empty shell afterwards
 */
export function readInPieces(accepted: Accepted, onPiece: (piece: Buffer) => void): Socket {
  const callback = (length: number): boolean => {
    // Memory of its own: one byte must not keep 8 KB of Node's pool.
    const piece = Buffer.allocUnsafeSlow(length);
    buffer.copy(piece);
    onPiece(piece);
    return false;
  };
  const handle = accepted._handle as SocketConstructorOpts["handle"];
  const socket = new Socket({ handle, allowHalfOpen: true, onread: { buffer, callback } });
  Object.assign(socket, { _server: accepted._server });
  Object.assign(accepted, { _handle: null, _server: null });
  return socket;
}

/** @throws when Node no longer has what this file takes from it */
export function checkNode(): void {
  const socket = new Socket();
  if (!("_handle" in socket && "_server" in socket)) throw new Error("Node's sockets are not as they were in Node 24");
}
