import FakeTimers, { type Clock } from '@sinonjs/fake-timers';

/** Replaces the timers, and nothing else, for each test of the enclosing `describe`; gives the clock of the current one. */
export function useFakeClock(): () => Clock {
  let clock: ReturnType<typeof FakeTimers.install> | undefined;
  beforeEach(() => {
    clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    clock?.uninstall();
    clock = undefined;
  });
  return () => {
    if (clock === undefined) throw new Error('the fake clock is there in tests only');
    return clock;
  };
}
