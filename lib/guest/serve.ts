import { connectPort, endpoint } from '#guest';
import { exposeGuest } from '../comlink.js';
import type { GuestApi } from '../wire/protocol.js';
import { TaskRunner } from './task-runner.js';

/** Offers this worker to its host; `exposed` holds the functions that the host names without a module. */
export function serveTasks(exposed: object): void {
  const api: GuestApi = {
    serve: (config) => {
      const port = connectPort(
        config.port,
        (message) => {
          runner.receive(message as unknown[]);
        },
        () => {
          runner.receiveUnreadable();
        },
      );
      const runner = new TaskRunner(port, config, exposed);
      void runner.start(config.initializer);
      // Never settled: the call lasts as long as the worker. The reference keeps the port from being collected.
      return new Promise(() => port);
    },
  };
  exposeGuest(api, endpoint());
}
