/** State of the connection to the API server for one resource; for status, metrics and logs. */
export interface ReflectorState {
	listed: boolean;
	/** Clock time of the server's last message for this resource; undefined: never. */
	lastContact?: number;
	/** Why the last connection ended; absent while one is open. */
	error?: string;
	lists: number;
	watches: number;
	events: number;
	/** Number of malformed items, such as objects without a name. */
	malformed: number;
}
