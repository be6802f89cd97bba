// Commands in, answers out (see ../README.md).

import { createInterface } from "node:readline";

/** Serves the commands with the methods of `client` until `close`. */
export async function serve(client) {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const answer = (await client[command.do](command)) ?? {};
    process.stdout.write(`= ${JSON.stringify(answer)}\n`);
    if (command.do === "close") break;
  }
  // A client's timers and idle connections must not keep the program alive; whatever it had to deliver is delivered by now.
  process.exit(0);
}
