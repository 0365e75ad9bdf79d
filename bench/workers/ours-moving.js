import { transfer } from 'concurrent-futures';

export function pass(buffer) {
  return transfer(buffer, [buffer]);
}
