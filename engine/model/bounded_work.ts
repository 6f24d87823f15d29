/**
 * Work that comes with a model, done in a thread of its own with a limit of time and memory, and waited for. Chat templates are
 * programs, and regular expressions of tokenizers can take exponential time: either can be made to go on for ever.
 */
import { fileURLToPath } from "node:url";
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from "node:worker_threads";

/** What a thread does: makes something of `start` once and answers requests about it. Its module calls `serveInThread`. */
export interface BoundedTask<Start, Request, Answer> {
  /** Makes of what it starts with what answers requests; throws Error with what is wrong with it. */
  readonly begin: (start: Start) => (request: Request) => Answer;
  /** The module that serves this task in a thread. */
  readonly module: URL;
  /** MiB that a thread may hold. */
  readonly memory: number;
}

/** What a thread is given. */
interface Line<Start> {
  /** Address of the module that is to serve. */
  readonly module: string;
  readonly start: Start;
  readonly signal: SharedArrayBuffer;
  readonly port: MessagePort;
}

type Reply = { readonly value: unknown } | { readonly error: string };

/** Milliseconds for a thread to load our own code and what it starts with. */
const patience = 60_000;

/**
 * One thread. It starts with the first request and again after one that took too much. Where threads cannot be had (our own
 * modules came over the network, or may not be read) the work is done here, without limits.
 */
export class BoundedWork<Start, Request, Answer> {
  private thread: { worker: Worker; port: MessagePort; signal: Int32Array } | undefined;
  private readonly here: ((request: Request) => Answer) | undefined;

  /** Throws what the task throws for `start`, where the work is done here. */
  constructor(private readonly task: BoundedTask<Start, Request, Answer>, private readonly start: Start) {
    if (!canStart(task.module)) this.here = task.begin(start);
  }

  /** The answer to a request. Throws Error with what is wrong, or that it took more than `ms` milliseconds or the memory. */
  ask(request: Request, ms: number): Answer {
    if (this.here) return this.here(request);
    this.thread ??= this.launch();
    const { port, signal } = this.thread;
    Atomics.store(signal, 0, 0);
    port.postMessage(request);
    return this.reply(ms) as Answer;
  }

  private launch() {
    const shared = new SharedArrayBuffer(4);
    const { port1, port2 } = new MessageChannel();
    const line: Line<Start> = {
      module: this.task.module.href,
      start: this.start,
      signal: shared,
      port: port2,
    };
    const worker = new Worker(this.task.module, {
      workerData: line,
      transferList: [port2 as never],
      resourceLimits: { maxOldGenerationSizeMb: this.task.memory },
    });
    worker.on("error", () => {}); // out of memory: whoever waits is told by the time
    worker.unref(); // an idle thread keeps no program from ending
    this.thread = { worker, port: port1, signal: new Int32Array(shared) };
    threads.register(this, worker);
    this.reply(patience);
    return this.thread;
  }

  private reply(ms: number): unknown {
    const { worker, port, signal } = this.thread!;
    Atomics.wait(signal, 0, 0, ms);
    const reply: Reply | undefined = receiveMessageOnPort(port)?.message;
    if (!reply) {
      this.thread = undefined;
      port.close();
      worker.terminate();
      throw new Error(`it takes more than ${ms / 1000} s or ${this.task.memory} MiB`);
    }
    if ("error" in reply) throw new Error(reply.error);
    return reply.value;
  }
}

/** Ends threads whose owners are gone. */
const threads = new FinalizationRegistry<Worker>((worker) => void worker.terminate());

/** In a thread that was started for this task: begins it and answers for ever. Anywhere else: nothing. */
export function serveInThread<Start, Request, Answer>(
  { module, begin }: BoundedTask<Start, Request, Answer>,
) {
  const line = workerData as Line<Start> | null | undefined;
  if (line?.module !== module.href) return;
  const { start, signal, port } = line;
  const flag = new Int32Array(signal);
  const reply = (work: () => unknown) => {
    let answer: Reply;
    try {
      answer = { value: work() };
    } catch (error) {
      answer = { error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(answer);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  };
  let answer: (request: Request) => Answer;
  reply(() => {
    answer = begin(start);
  });
  port.on("message", (request: Request) => reply(() => answer(request)));
}

function canStart(module: URL): boolean {
  if (module.protocol !== "file:") return false;
  return Deno.permissions.querySync({ name: "read", path: fileURLToPath(module) }).state === "granted";
}
