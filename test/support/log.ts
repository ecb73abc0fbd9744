import type { Log } from '../../agent/base/log.ts';

/** A log that discards everything. Spread it and override the levels that a test checks. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
