// The media nodes of the cluster: sessions, load, what is left for mixes, and the drain of a node.

import type { Context, Screen } from '../context';
import { h, type Child } from '../dom';
import { number } from '../format';
import { t } from '../i18n';
import { badge, bar, busy, card, dialog, empty, field, note, page, progress } from '../ui';
import { Table } from '../table';
import type { MixNode, NodeList, SfuNode } from '../types';

/** `Most`: the sessions that the node had when this page first saw it drain. */
type Listed = SfuNode & { Most?: number };

export const nodes: Screen = (context) => {
  const error = h('div');
  const most = new Map<string, number>();
  const mayDrain = context.may('admin') && context.api.has('DrainNode');
  const sfu = new Table<Listed>(t('Nodes that forward media'), [
    { title: t('Node'), isWhole: true, cell: (node) => h('strong', {}, node.Node) },
    { title: t('State'), cell: state },
    { title: t('Sessions'), isNumber: true, cell: (node) => number(node.Sessions) },
    { title: t('Capacity'), cell: (node) => bar(node.Sessions / Math.max(1, node.Capacity), t('Sessions of {0} out of {1}', node.Node, number(node.Capacity))) },
    { title: t('Load'), cell: (node) => bar(node.LoadPercent / 100, t('Load of {0}', node.Node)) },
    ...(mayDrain ? [{ title: t('Actions'), cell: (node: Listed) => action(context, node, () => poll.now()) }] : []),
  ], (node) => node.Node, () => empty(t('No node forwards media'), t('Start a process with `rotunda serve --roles sfu`.')));
  const mixing = new Table<MixNode>(t('Nodes that mix'), [
    { title: t('Node'), isWhole: true, cell: (node) => h('strong', {}, node.Node) },
    { title: t('Further mixes that it can take'), isNumber: true, cell: (node) => number(node.TasksLeft) },
    { title: t('Free CPU cores'), isNumber: true, cell: (node) => number(node.MillicoresLeft / 1000, 2) },
  ], (node) => node.Node, () => empty(t('No node mixes'), t('Start a process with `rotunda serve --roles mcu`.')));
  const poll = context.follow(async () => {
    const found = await context.api.call<NodeList>('ListNodes');
    sfu.update(found.SfuNodes.map((node) => {
      if (!node.IsDraining) most.delete(node.Node);
      else most.set(node.Node, Math.max(most.get(node.Node) ?? 0, node.Sessions));
      return { ...node, Most: most.get(node.Node) };
    }));
    mixing.update(found.MixNodes);
  }, error);
  return page(t('Nodes'), '', error, card(t('Nodes that forward media'), sfu.element), card(t('Nodes that mix'), mixing.element));
};

function state(node: Listed): Child {
  if (!node.IsDraining) return node.IsFull ? badge(t('full'), 'warn') : badge(t('takes members'), 'good');
  if (node.Sessions === 0) return badge(t('empty, takes no members'), 'warn');
  const most = Math.max(1, node.Most ?? node.Sessions);
  const moved = most - node.Sessions;
  return [
    badge(t('moving its sessions away'), 'warn'),
    progress(moved / most, t('Sessions moved away from {0}', node.Node), t('{0} of {1} moved', number(moved), number(most))),
  ];
}

function action(context: Context, node: Listed, changed: () => void): HTMLElement {
  const text = node.IsDraining ? t('Take members again') : t('Drain');
  const made = h('button', { type: 'button', class: 'small', 'aria-label': `${text}: ${node.Node}` }, text);
  made.addEventListener('click', () => {
    if (!node.IsDraining) return drain(context, node.Node, changed);
    busy(made, context.api.call('ResumeNode', { Node: node.Node }), h('div')).then(() => {
      note(t('Members come to {0} again.', node.Node));
      changed();
    }, (failed: Error) => note(`${node.Node}: ${failed.message}`, 'bad'));
  });
  return made;
}

function drain(context: Context, node: string, changed: () => void): void {
  dialog(t('Drain {0}?', node), (close) => {
    const error = h('div');
    const seconds = h('input', { type: 'number', min: 10, max: 3600, required: true, value: '60' });
    const go = h('button', { type: 'submit', class: 'danger' }, t('Drain'));
    const form = h('form', {},
      h('p', {}, t('It takes no more sessions, and those that it has move to other nodes one after another, without a pause for clients that can move. The process goes on: stop it when no session is left.')),
      field(t('Seconds for the move'), seconds),
      error, h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(go, context.api.call('DrainNode', { Node: node, Seconds: Number(seconds.value) }), error).then(() => {
        close();
        note(t('{0} takes no more sessions.', node));
        changed();
      }, () => {});
    });
    return form;
  });
}
