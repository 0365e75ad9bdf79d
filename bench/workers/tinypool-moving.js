import { Tinypool } from 'tinypool';

export const pass = ([buffer]) => Tinypool.move(buffer);
