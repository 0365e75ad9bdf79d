// A piscina task is one value: here the array of arguments.
import * as functions from './functions.js';

export const add = ([a, b]) => functions.add(a, b);
export const increment = ([value]) => functions.increment(value);
export const factorial = ([n]) => functions.factorial(n);
export const echo = ([value]) => value;
export const spin = ([milliseconds]) => functions.spin(milliseconds);
export const spinLong = ([milliseconds]) => functions.spinLong(milliseconds);
export const gate = ([shared]) => functions.gate(shared);
