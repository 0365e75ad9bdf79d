/** The part of Express and Koa, which bring no types, that the applications under test use. */
declare module 'express' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  interface Request extends IncomingMessage {
    params: Record<string, string>;
    query: Record<string, string>;
    body: unknown;
  }
  interface Response extends ServerResponse {
    set(name: string, value: string): this;
    send(body: unknown): this;
  }
  type Handler = (request: Request, response: Response) => unknown;
  interface Application {
    (request: IncomingMessage, response: ServerResponse): void;
    disable(setting: string): this;
    get(path: string, ...handlers: Handler[]): this;
    post(path: string, ...handlers: Handler[]): this;
  }
  function express(): Application;
  namespace express {
    function raw(options: { type: string; limit: string }): Handler;
  }
  export default express;
}

declare module 'koa' {
  import type { IncomingMessage, RequestListener } from 'node:http';

  interface Context {
    method: string;
    path: string;
    query: Record<string, string>;
    req: IncomingMessage;
    body: unknown;
    set(name: string, value: string): void;
  }
  export default class Koa {
    silent: boolean;
    use(middleware: (context: Context, next: () => Promise<void>) => unknown): this;
    callback(): RequestListener;
  }
}
