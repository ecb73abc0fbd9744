/** Names in the dictionary of the draft. A length precedes each, as in a header block. */
const NAMES = `options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status`;
const MORE = ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'];
const REST = [
	'100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505',
	'203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized',
	'403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable',
	'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT',
	'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,',
	'text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.',
];

/** The zlib dictionary of SPDY/3 headers (draft-mbelshe-httpbis-spdy-00, 2.6.10.1): 1423 bytes. */
export function spdyDictionary(): Buffer {
	const withLengths = [...NAMES.split(/\s+/), ...MORE].map((name) => {
		const length = Buffer.alloc(4);
		length.writeUInt32BE(name.length);
		return Buffer.concat([length, Buffer.from(name)]);
	});
	return Buffer.concat([...withLengths, Buffer.from(REST.join(''))]);
}
