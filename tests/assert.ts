/**
 * Stands in for @std/assert, with its names, signatures and tolerances, on top of node:assert. JSR cannot be
 * reached where the tests run; once it can, pointing "@std/assert" in deno.json at JSR is the whole swap.
 */
import nodeAssert, { AssertionError } from "node:assert";

// `never[]` lets a class with any constructor parameters pass, without resorting to `any`.
type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

function fail(message: string, msg?: string): never {
  throw new AssertionError({ message: msg ? `${message}: ${msg}` : `${message}.` });
}

/** Passes when `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError({ message: msg });
}

/** Passes when both are deeply and strictly equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, msg);
}

/** Passes when the two are not deeply and strictly equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.notDeepStrictEqual(actual, expected, msg);
}

/** Passes when the two lie within `tolerance`, by default 1e-7 of the expected value's size (so 0 is exact). */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  fail(`Expected ${actual} to be close to ${expected}, but they differ by ${delta}, above ${allowed}`, msg);
}

/** Passes when `actual` is neither null nor undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) fail(`Expected a value, got ${actual}`, msg);
}

/** Passes when `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) fail(`Expected "${actual}" to contain "${expected}"`, msg);
}

/** Passes when `actual` matches the expression `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  nodeAssert.match(actual, expected, msg);
}

/** Passes when `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) fail(`Expected ${actual} > ${expected}`, msg);
}

/** Passes when `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) fail(`Expected ${actual} >= ${expected}`, msg);
}

/** Passes when `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) fail(`Expected ${actual} < ${expected}`, msg);
}

/** Passes when `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) fail(`Expected ${actual} <= ${expected}`, msg);
}

function checkError<E extends Error>(
  error: unknown,
  errorClass: ErrorClass<E> | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): unknown {
  if (errorClass && !(error instanceof errorClass)) {
    fail(`Expected an error of class "${errorClass.name}", got ${error}`, msg);
  }
  if (msgIncludes !== undefined) {
    const message = error instanceof Error ? error.message : String(error);
    if (!message.includes(msgIncludes)) {
      fail(`Expected the error message to include "${msgIncludes}", got "${message}"`, msg);
    }
  }
  return error;
}

/** Passes when `fn` throws, and returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Passes when `fn` throws an `ErrorClass` whose message contains `msgIncludes`, and returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  classOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const [errorClass, text] = typeof classOrMsg === "string" ? [undefined, classOrMsg] : [classOrMsg, msg];
  try {
    fn();
  } catch (error) {
    return checkError(error, errorClass, msgIncludes, text);
  }
  fail("Expected the function to throw", text);
}

/** Passes when the promise of `fn` rejects, and resolves to what it rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Passes when the promise of `fn` rejects with an `ErrorClass` whose message contains `msgIncludes`. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const [errorClass, text] = typeof classOrMsg === "string" ? [undefined, classOrMsg] : [classOrMsg, msg];
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    fail(`Expected a rejected promise, but the function itself threw ${error}`, text);
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, errorClass, msgIncludes, text);
  }
  fail("Expected the promise to reject", text);
}
