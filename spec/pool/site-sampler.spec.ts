import { expect } from 'chai';
import { Callable } from '../../dist/pool/callables.js';
import { SiteSampler } from '../../dist/pool/site-sampler.js';

const owner = { withdraw: () => false };
const callable = (id: number) => new Callable(owner, id, { kind: 'source', name: 'f', source: '', base: undefined });

describe('SiteSampler', () => {
  it('notes 128 sites in a row exactly; then the last one of the callable stands for others', () => {
    const sampler = new SiteSampler();
    const one = callable(1);
    const noted = Array.from({ length: 128 }, () => sampler.note(one, 0));
    expect(new Set(noted).size).to.equal(128);
    expect(noted.every(({ exact }) => exact)).to.equal(true);
    expect(noted[127]!.lines()).to.include('site-sampler.spec');
    const next = sampler.note(one, 0);
    expect(next.exact).to.equal(false);
    expect(next.lines()).to.equal(noted[127]!.lines());
    expect(sampler.note(one, 0), 'the same for all').to.equal(next);
  });

  it('always notes the first site of a callable', () => {
    const sampler = new SiteSampler();
    for (let id = 0; id < 300; id++) expect(sampler.note(callable(id), 0).exact, String(id)).to.equal(true);
  });

  it('notes another one every millisecond, and never saves up more than 128', () => {
    const sampler = new SiteSampler();
    const one = callable(1);
    const exact = (count: number, at: number) =>
      Array.from({ length: count }, () => sampler.note(one, at)).filter((site) => site.exact).length;
    expect(exact(200, 0)).to.equal(128);
    expect(exact(10, 999)).to.equal(0);
    expect(exact(10, 1000)).to.equal(1);
    expect(exact(10, 1999)).to.equal(0);
    expect(exact(10, 5000)).to.equal(4);
    expect(exact(200, 60_000_000)).to.equal(128);
    expect(exact(10, 60_001_000)).to.equal(1);
  });
});
