// Reads pairs of templates, and writes what @aws-cdk/cloudformation-diff says of each: logical id -> impact; null where it fails.
const { fullDiff } = require('@aws-cdk/cloudformation-diff');
const pairs = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(pairs.map(([before, after]) => {
  let changes;
  try {
    changes = fullDiff(before, after).resources.changes;
  } catch {
    return null;
  }
  return Object.fromEntries(Object.entries(changes).map(([id, change]) => [id, change.changeImpact]));
})));
