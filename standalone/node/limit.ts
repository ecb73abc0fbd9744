/** Runs at most `atOnce` actions concurrently. Others wait in order. */
export function createLimit(atOnce: number): <T>(action: () => Promise<T>) => Promise<T> {
	const waiting: (() => void)[] = [];
	let running = 0;
	return async (action) => {
		if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
		else running++;
		try {
			return await action();
		} finally {
			const next = waiting.shift();
			if (next) next();
			else running--;
		}
	};
}
