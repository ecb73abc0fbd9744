import { TestRunner } from 'vitest';
import { unrunnable } from './context.ts';

/** Skips a test that needs a feature that this kernel lacks. In a hook it is an error. */
const say = unrunnable.say;
unrunnable.say = (why) => TestRunner.getCurrentTest()?.context.skip(why) ?? say(why);
