/** A line that is drawn anew below the lines printed meanwhile; where there is no terminal, it is a line among others. */
export class StatusLine implements Disposable {
  #shown = '';

  /** Prints a line that stays. */
  print(line: string): void {
    this.#clear();
    console.log(line);
    this.#draw();
  }

  /** Changes what the status line says. */
  show(status: string): void {
    if (status === this.#shown) return;
    this.#clear();
    this.#shown = status;
    if (process.stdout.isTTY) this.#draw();
    else console.log(status);
  }

  [Symbol.dispose](): void {
    this.#clear();
  }

  #clear(): void {
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  }

  #draw(): void {
    if (process.stdout.isTTY) process.stdout.write(this.#shown);
  }
}
