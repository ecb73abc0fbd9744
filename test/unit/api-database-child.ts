/** An API server with a database, for tests that kill it. Usage: api-database-child.ts <file> <credentials>; tells its port over IPC. */
import { createApi } from '../../agent/standalone/api/index.ts';

const { port } = await createApi({
	database: process.argv[2]!,
	credentials: JSON.parse(process.argv[3]!),
}).listen({ port: 0 });
process.send?.(port);
