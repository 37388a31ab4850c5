import { connect, type Socket } from "node:net";
import type { Log } from "../../lib/log.ts";
import type { TcpAddress } from "../../lib/transporter-config.ts";
import type { TcpLink } from "./tcp-link.ts";

const connectMs = 3000;
const firstPauseMs = 250;
const longestPauseMs = 5000;
/** From then on the pause is the longest. */
const manyFailures = 6;

/** An address that this node keeps a connection to: made again whenever it ends, until it is stopped. */
export class RedialedPeer {
  readonly #address: TcpAddress;
  readonly #log: Log;
  readonly #open: (socket: Socket) => TcpLink;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  #socket: Socket | undefined;
  link: TcpLink | undefined;

  /** @param open is handed each new connection */
  constructor(address: TcpAddress, log: Log, open: (socket: Socket) => TcpLink) {
    this.#address = address;
    this.#log = log;
    this.#open = open;
    this.#dial();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#socket?.connecting === true) this.#socket.destroy();
  }

  /** This very node is there, which is no failure to tell of; dialed as rarely as can be, since another may be there later. */
  rest(): void {
    this.#failures = manyFailures;
  }

  #dial(): void {
    const socket = connect(this.#address);
    this.#socket = socket;
    this.link = undefined;
    const tooLate = setTimeout(() => socket.destroy(), connectMs);
    let reason: string | undefined;
    socket.on("error", ({ message }) => (reason = message));
    socket.on("connect", () => {
      clearTimeout(tooLate);
      this.link = this.#open(socket);
    });
    socket.on("close", () => {
      clearTimeout(tooLate);
      const wasThere = this.link?.peer !== undefined;
      const how = wasThere ? "the connection ended" : "it did not greet this node: has it the same SECRET_KEY?";
      reason ??= this.link ? how : "it did not answer";
      if (!this.#stopped) this.#again(wasThere, reason);
    });
  }

  /** @param wasThere as one of us: who only answers, or hangs up on us, is told once and dialed ever more rarely */
  #again(wasThere: boolean, reason: string): void {
    this.#failures = wasThere ? 1 : this.#failures + 1;
    if (this.#failures === 1) this.#log.warn({ ...this.#address, reason }, "no connection to another node");
    const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (this.#failures - 1));
    this.#timer = setTimeout(() => this.#dial(), pause * (0.5 + Math.random() / 2));
  }
}
