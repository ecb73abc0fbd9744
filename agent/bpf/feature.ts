/** Result of one probe; `why` names the consequence and the remedy for operators. */
export interface Feature {
	readonly ok: boolean;
	readonly why: string;
}
