// Signs a statement with sigstore-js and an identity token, with the authority, into the
// log and with the timestamps of a signing configuration:
// sign.cjs SIGNING_CONFIG STATEMENT TOKEN BUNDLE.
const fs = require('fs');
const { bundleToJSON } = require('@sigstore/bundle');
const { SigningConfig } = require('@sigstore/protobuf-specs');
const { bundleBuilderFromSigningConfig } = require('@sigstore/sign');

const [configPath, statementPath, tokenPath, bundlePath] = process.argv.slice(2);
const read = (path) => fs.readFileSync(path, 'utf8');
bundleBuilderFromSigningConfig({
  signingConfig: SigningConfig.fromJSON(JSON.parse(read(configPath))),
  identityProvider: { getToken: async () => read(tokenPath) },
  bundleType: 'dsseEnvelope',
})
  .create({ data: Buffer.from(read(statementPath)), type: 'application/vnd.in-toto+json' })
  .then((bundle) => {
    fs.writeFileSync(bundlePath, JSON.stringify(bundleToJSON(bundle)));
    console.log('sigstore-js: signed and logged');
  })
  .catch((e) => {
    console.error('sigstore-js: ' + e.message + (e.cause ? ': ' + e.cause.message : ''));
    process.exit(1);
  });
