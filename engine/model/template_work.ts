/** Chat templates rendered in a thread of their own; see engine/bounded_work.ts. */
import { type BoundedTask, BoundedWork, serveInThread } from "../bounded_work.ts";
import { parseTemplate, renderTemplate } from "./jinja.ts";

interface TemplateRequest {
  readonly text: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

const task: BoundedTask<null, TemplateRequest, string> = {
  module: new URL(import.meta.url),
  memory: 256,
  begin() {
    let last: { text: string; program: ReturnType<typeof parseTemplate> } | undefined;
    return ({ text, variables }) => {
      if (last?.text !== text) last = { text, program: parseTemplate(text) };
      return renderTemplate(last.program, variables);
    };
  },
};

/** Milliseconds; published templates take a few. An interruption is answered after it. */
const longest = 950;

let work: BoundedWork<null, TemplateRequest, string> | undefined;

/** What a template makes of variables. Throws Error for what the template refuses, cannot do or does too much of. */
export function renderBounded(text: string, variables: Readonly<Record<string, unknown>>): string {
  work ??= new BoundedWork(task, null);
  return work.ask({ text, variables }, longest);
}

serveInThread(task);
