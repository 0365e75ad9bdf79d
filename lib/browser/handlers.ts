import type { NamedHandler } from '../wire/handlers.js';

/** Browsers have no values of their own beyond the common ones. */
export const platformHandlers: NamedHandler[] = [];
