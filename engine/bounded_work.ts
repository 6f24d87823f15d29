/**
 * Work that files bring along, done in a thread of its own with a limit of time and memory. Chat templates are programs, regular
 * expressions of tokenizers can take exponential time, and damaged parquet can count without end.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createContext, Script } from "node:vm";
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
  readonly begin: (start: Start) => (request: Request) => Answer | Promise<Answer>;
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

/** A request, and milliseconds of the processor for it. */
interface Order<Request> {
  readonly request: Request;
  readonly ms: number;
}

type Reply = { readonly value: unknown } | { readonly error: string };

/** Milliseconds for a thread to load our own code and what it starts with. */
const patience = 60_000;

/**
 * One thread. It starts with the first request and again after one that took too much. Where threads cannot be had (our own
 * modules came over the network, or may not be read) the work is done here, without limits.
 */
export class BoundedWork<Start, Request, Answer> implements Disposable {
  private thread: { worker: Worker; port: MessagePort; signal: Int32Array } | undefined;
  private readonly here: ((request: Request) => Answer | Promise<Answer>) | undefined;

  /** Throws what the task throws for `start`, where the work is done here. */
  constructor(private readonly task: BoundedTask<Start, Request, Answer>, private readonly start: Start) {
    if (!canStart(task.module)) this.here = task.begin(start);
  }

  /**
   * The answer to a request of a task that answers at once; nothing else happens meanwhile. Throws Error with what is wrong, or
   * that it took more than `ms` milliseconds of the processor or the memory.
   */
  ask(request: Request, ms: number): Answer {
    if (this.here) return this.here(request) as Answer;
    const limit = new Limit(ms, this.send(request, ms).signal);
    while (limit.waits()) limit.wait();
    return this.receive(ms) as Answer;
  }

  /** The same while other things go on. */
  async askLater(request: Request, ms: number): Promise<Answer> {
    if (this.here) return await this.here(request);
    const limit = new Limit(ms, this.send(request, ms).signal);
    while (limit.waits()) await new Promise((done) => setTimeout(done, 1));
    return this.receive(ms) as Answer;
  }

  private send(request: Request, ms: number) {
    this.thread ??= this.launch();
    Atomics.store(this.thread.signal, 0, 0);
    this.thread.port.postMessage({ request, ms } satisfies Order<Request>);
    return this.thread;
  }

  /** Ends its thread; the next request would start one again. */
  [Symbol.dispose]() {
    this.thread?.port.close();
    this.thread?.worker.terminate();
    this.thread = undefined;
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
    Atomics.wait(this.thread.signal, 0, 0, patience);
    this.receive(patience);
    return this.thread;
  }

  private receive(ms: number): unknown {
    const { port } = this.thread!;
    const reply: Reply | undefined = receiveMessageOnPort(port)?.message;
    if (!reply) {
      this[Symbol.dispose]();
      throw new Error(`it takes more than ${(ms / 1000).toFixed(1)} s or ${this.task.memory} MiB`);
    }
    if ("error" in reply) throw new Error(reply.error);
    return reply.value;
  }
}

/** So many times the limit by the clock is waited for a thread whose processor is busy with others, or that has no memory left. */
const mostByClock = 4;

/** Until when a thread is waited for: milliseconds of the processor, so that a busy machine refuses nothing that is good. */
class Limit {
  private readonly clock = performance.now();
  private readonly processor = process.cpuUsage();

  constructor(private readonly ms: number, private readonly signal: Int32Array) {}

  waits(): boolean {
    if (Atomics.load(this.signal, 0) === 1) return false;
    const { user, system } = process.cpuUsage(this.processor);
    return (user + system) / 1000 < this.ms && performance.now() - this.clock < mostByClock * this.ms;
  }

  wait() {
    Atomics.wait(this.signal, 0, 0, 50);
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
  const reply = async (work: () => unknown) => {
    let answer: Reply;
    try {
      answer = { value: await work() };
    } catch (error) {
      answer = { error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(answer);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  };
  let answer: (request: Request) => Answer | Promise<Answer>;
  reply(() => {
    answer = begin(start);
  });
  port.on("message", ({ request, ms }: Order<Request>) => reply(() => stopped(() => answer(request), ms)));
}

const context = createContext({ work: undefined as unknown });
const script = new Script("work()");

/**
 * What `work` gives, ended when it takes too long: nothing outside of a thread can end what it is busy with (Deno 2.9), and one that
 * nobody waits for any more is to end as well. What an asynchronous work does later is not covered.
 */
function stopped<T>(work: () => T, ms: number): T {
  context.work = work;
  return script.runInContext(context, { timeout: Math.ceil(mostByClock * ms) });
}

function canStart(module: URL): boolean {
  if (module.protocol !== "file:") return false;
  return Deno.permissions.querySync({ name: "read", path: fileURLToPath(module) }).state === "granted";
}
