// Exits with 0 when node_modules has the versions of package-lock.json.
// Packages for other systems may be absent.
const { existsSync, readFileSync } = require('node:fs');

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { packages } = read('package-lock.json');
const installed = ([path, { version, optional }]) => {
	if (path === '') return true;
	const manifest = `${path}/package.json`;
	return existsSync(manifest) ? read(manifest).version === version : optional === true;
};
process.exitCode = Object.entries(packages).every(installed) ? 0 : 1;
