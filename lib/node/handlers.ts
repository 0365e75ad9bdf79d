import type { NamedHandler } from '../wire/handlers.js';
import { streamHandlers } from './stream-bridge.js';

/** Values that only Node has. */
export const platformHandlers: NamedHandler[] = streamHandlers;
