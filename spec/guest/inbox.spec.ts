import { expect } from 'chai';
import { GuestCallable } from '../../dist/guest/callables.js';
import { Inbox } from '../../dist/guest/inbox.js';
import { ASK, packRich, type RichDetails, TASKS } from '../../dist/wire/protocol.js';

const details: RichDetails = {
  how: 'call',
  attempt: 2,
  id: 9,
  tellBegin: false,
  handled: [],
  adapts: false,
  endsQuietly: false,
};

function inboxOf(messages: unknown[][], asked: () => void = () => undefined): Inbox {
  const callables = new Map<number, GuestCallable>();
  for (const id of [1, 2])
    callables.set(id, new GuestCallable({ kind: 'named', name: String(id), url: undefined }, {}));
  const inbox = new Inbox(callables, asked);
  for (const message of messages) inbox.push(message);
  return inbox;
}

/** What it tells of each task, in its order. */
function readAll(inbox: Inbox): unknown[] {
  const tasks: unknown[] = [];
  while (inbox.turn()) {
    const { number, slot, id, callable, message, first, argc } = inbox;
    tasks.push([callable?.definition.name, number, slot, id, ...message.slice(first, first + argc)]);
  }
  return tasks;
}

describe('Inbox', () => {
  it('turn() gives the tasks of each group and of each message in their order', () => {
    const inbox = inboxOf([
      [TASKS, 1, 1, 2, 11, 0, 'a', 12, 1, 'b', 2, 0, 1, 13, 2],
      [TASKS, 1, 2, 1, 14, 3, 'c', 'd'],
    ]);
    expect(readAll(inbox)).to.deep.equal([
      ['1', 11, 0, undefined, 'a'],
      ['1', 12, 1, undefined, 'b'],
      ['2', 13, 2, undefined],
      ['1', 14, 3, undefined, 'c', 'd'],
    ]);
    expect(inbox.turn(), 'once more').to.equal(false);
  });

  it('turn() tells the id of a task that was sent before', () => {
    expect(readAll(inboxOf([[TASKS, 1, ~1, 1, 11, 0, 5, 'a']]))).to.deep.equal([['1', 11, 0, 5, 'a']]);
  });

  it('turn() goes on with what arrives after it had nothing left', () => {
    const inbox = inboxOf([]);
    expect(inbox.turn()).to.equal(false);
    inbox.push([TASKS, 2, 0, 1, 11, 0]);
    expect(readAll(inbox)).to.deep.equal([['2', 11, 0, undefined]]);
  });

  it('isRich tells of a task that came with details', () => {
    const inbox = inboxOf([[TASKS, 1, 0, 1, 10, 1]]);
    expect([inbox.turn(), inbox.isRich]).to.deep.equal([true, false]);
    inbox.push(packRich(2, 11, 0, details, ['a']));
    expect([inbox.turn(), inbox.isRich, inbox.number, inbox.slot]).to.deep.equal([true, true, 11, 0]);
  });

  it('left counts the tasks of the same callable that follow in the message', () => {
    const inbox = inboxOf([[TASKS, 1, 0, 3, 11, 0, 12, 1, 13, 2, 2, 0, 1, 14, 3]]);
    const left: number[] = [];
    while (inbox.turn()) left.push(inbox.left);
    expect(left).to.deep.equal([2, 1, 0, 0]);
  });

  it('a question of the host is put when all tasks before it have had their turn', () => {
    const told: unknown[] = [];
    const inbox = inboxOf([[TASKS, 1, 0, 1, 11, 0], [ASK], [ASK], [TASKS, 1, 0, 1, 12, 1]], () => told.push('asked'));
    while (inbox.turn()) told.push(inbox.number);
    expect(told).to.deep.equal([11, 'asked', 'asked', 12]);
  });
});
