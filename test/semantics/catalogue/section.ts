/** A part of the catalogue: rules (R-…) that decide, and cases that are examples of them. */
export interface Section {
	readonly letter: string;
	readonly title: string;
	/** Id -> the rule or case in one line, in the order of the page. */
	readonly entries: Readonly<Record<string, string>>;
}
