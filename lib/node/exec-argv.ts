/** Flags that say what the program is, or what is done with it, and the word that follows. */
const WITH_WORD = new Set(['-e', '--eval', '-pe', '--input-type', '--watch-path', '--inspect-port', '--debug-port']);
/** The same, without one. */
const ALONE =
  /^(--eval=|--print=|--input-type=|-i$|--interactive$|-c$|--check$|--test$|--watch|--inspect|--debug-port=)/;

/**
 * The flags of Node that a process inherits that this one starts for its own purposes. Not those that give the program:
 * whoever is started by `node --eval` would run that text again, and start the next one. Node's `fork` sees to that only
 * for flags that it was not given. Nor a debugger's port, which one process can use.
 */
export function inheritedFlags(execArgv: readonly string[]): string[] {
  const inherited: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const flag = execArgv[i] as string;
    if (WITH_WORD.has(flag)) i++;
    // `--print` may be followed by the program, or by further flags.
    else if (flag === '-p' || flag === '--print') i += execArgv[i + 1]?.startsWith('-') === false ? 1 : 0;
    else if (!ALONE.test(flag)) inherited.push(flag);
  }
  return inherited;
}
