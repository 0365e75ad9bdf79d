import { move } from 'piscina';

export const pass = ([buffer]) => move(buffer);
