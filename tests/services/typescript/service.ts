// A service with the TypeScript SDK: the tests register it, call it and roll it like the Rust one.

import * as restate from "@restatedev/restate-sdk";

const version = process.env.VERSION ?? "v1";
const name = process.env.SERVICE_NAME ?? "typescript-greeter";

const greeter = restate.service({
  name,
  handlers: {
    greet: async (_: restate.Context, who: string): Promise<string> => `${version}: hello ${who}`,
    slow: async (context: restate.Context, seconds: number): Promise<string> => {
      await context.sleep(seconds * 1000);
      return `${version}: slept ${seconds} s`;
    },
  },
});

restate.serve({ services: [greeter], port: 9080 });
