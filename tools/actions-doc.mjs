#!/usr/bin/env node
// Writes docs/actions.md from the catalogue; `--check` fails when writing it again would change it.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { readPolicyData } from './policy/data.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const file = join(root, 'docs', 'actions.md');

const list = (items) => (items.length === 0 ? [] : ['', ...items.map((item) => `- ${item}`)]);
const code = (text) => `\`${text}\``;
const bound = (value) => code(String(value));

const { data, faults } = readPolicyData(join(root, 'policy'));
if (data === undefined) {
  for (const { place, detail } of faults) console.error(`policy/${place}: ${detail}`);
  process.exitCode = 1;
} else {
  const options = { ...(await resolveConfig(file)), parser: 'markdown' };
  const page = await format(pageOf(data), options);
  if (!process.argv.includes('--check')) {
    writeFileSync(file, page);
    console.log(`docs/actions.md: ${Object.keys(data.catalogue.actions).length} actions`);
  } else if (readFileSync(file, 'utf8') === page) {
    console.log('docs/actions.md is what the catalogue says');
  } else {
    console.error('docs/actions.md is stale: node tools/actions-doc.mjs, and commit it');
    process.exitCode = 1;
  }
}

function pageOf({ catalogue, tiers, context, params }) {
  const actions = Object.entries(catalogue.actions).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [
    '# Actions',
    '',
    'Generated from `policy/data/catalogue` by `tools/actions-doc.mjs`; a test holds it to the catalogue. What is not here',
    'is refused. A parameter that an action does not name is refused too; only reads of the low tier take others, which',
    'can be no ceiling, no permission and no proof. Every action takes ' +
      Object.keys(params.common).map(code).join(', ') +
      ", which raises the tier where it is not the agent's own.",
    '',
    'A bound that is a name is a ceiling: policy data sets it, for an agent of its own where it says so, and `con.limits`',
    'may narrow it. **Attested**: an approver or the ticket must vouch for it; what the agent claims proves nothing.',
    '',
    ...thresholds(context),
  ];
  for (const [tier, { definition }] of Object.entries(tiers)) {
    const own = actions.filter(([, action]) => action.tier === tier);
    lines.push('', `## ${tier[0].toUpperCase()}${tier.slice(1)} (${own.length})`, '', `${definition}.`);
    for (const group of [...new Set(own.map(([, action]) => action.group))].sort()) {
      lines.push('', `### ${group}, ${tier}`);
      for (const [name, action] of own.filter(([, { group: its }]) => its === group))
        lines.push('', ...entry(name, action));
    }
  }
  return `${lines.join('\n')}\n`;
}

function thresholds({ thresholds: all }) {
  return Object.entries(all).flatMap(([what, steps]) =>
    steps.map(({ above, to }) => `- more than ${above} ${what === 'money' ? 'EUR' : what}: at least ${to}`),
  );
}

function entry(name, action) {
  const facts = [
    `${action.classification} data`,
    action.reversible
      ? `can be undone${action.reversed_by ? ` by ${code(action.reversed_by)}` : ''}`
      : 'cannot be undone',
    `legal ground ${action.legal_bases.join(', ')}`,
    ...(action.methods ? [action.methods.join(', ')] : []),
    ...(action.business_hours ? ['one tier higher outside business hours'] : []),
  ];
  if (action.tier === 'low') facts.splice(1, 1);
  return [
    `**${code(name)}** ${action.summary}. ${facts.join('; ')}.`,
    ...list([
      ...Object.entries(action.params).map(([param, rule]) => `${code(param)}: ${ruleOf(rule)}`),
      ...Object.entries(action.ceilings).map(
        ([ceiling, value]) => `ceiling ${code(ceiling)}: ${code(JSON.stringify(value))}`,
      ),
      ...(action.refuse ?? []).map(
        ({ says, when, unless }) =>
          `refused where ${when.map(conditionOf).join(' and ')}: ${says}, unless ${code(unless)}`,
      ),
      ...(action.one_of ? [action.one_of.says] : []),
    ]),
  ];
}

function conditionOf({ param, starts_with: start, equals, lacks, in: among }) {
  if (start !== undefined) return `${code(param)} begins with ${code(start)}`;
  if (equals !== undefined) return `${code(param)} is ${code(equals)}`;
  if (lacks !== undefined) return `${code(param)} has no ${code(lacks)}`;
  return `${code(param)} is one of ${code(among)}`;
}

function ruleOf(rule) {
  const words = [rule.type];
  if (rule.unit) words.push(`in ${rule.unit}`);
  if (rule.min !== undefined) words.push(`at least ${bound(rule.min)}`);
  if (rule.exclusive_min !== undefined) words.push(`above ${bound(rule.exclusive_min)}`);
  if (rule.max !== undefined) words.push(`at most ${bound(rule.max)}`);
  if (rule.decimals !== undefined) words.push(`at most ${rule.decimals} decimals`);
  if (rule.min_length !== undefined && rule.min_length > 1)
    words.push(`at least ${rule.min_length} characters`);
  if (rule.pattern) words.push(`matching ${code(rule.pattern)}`);
  if (rule.format) words.push('YYYY-MM-DD');
  if (rule.in) words.push(`one of ${Array.isArray(rule.in) ? rule.in.map(code).join(', ') : code(rule.in)}`);
  if (rule.equals !== undefined) words.push(`must be ${bound(rule.equals)}`);
  if (rule.not_equal !== undefined)
    words.push(`must not be ${rule.not_equal === 'subject' ? 'the agent that asks' : bound(rule.not_equal)}`);
  if (rule.optional) words.push('optional');
  if (rule.personal) words.push('personal data');
  if (rule.attested) words.push('**attested**');
  return words.join(', ');
}
