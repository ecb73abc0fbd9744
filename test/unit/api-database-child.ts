/**
 * Runs an API server with a database, for tests that kill it. Usage: api-database-child.ts <file>
 * <credentials>. Sends its port over IPC.
 */
import { createApi } from '../../standalone/api/index.ts';

const { port } = await createApi({
	database: process.argv[2]!,
	credentials: JSON.parse(process.argv[3]!),
}).listen({ port: 0 });
process.send?.(port);
