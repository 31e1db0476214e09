// The media nodes of the cluster: sessions, load, and what is left for mixes.

import type { Screen } from '../context';
import { h } from '../dom';
import { number } from '../format';
import { t } from '../i18n';
import { badge, bar, card, empty, page } from '../ui';
import { Table } from '../table';
import type { MixNode, NodeList, SfuNode } from '../types';

export const nodes: Screen = (context) => {
  const error = h('div');
  const sfu = new Table<SfuNode>(t('Nodes that forward media'), [
    { title: t('Node'), cell: (node) => h('strong', {}, node.Node) },
    { title: t('State'), cell: (node) => node.IsFull ? badge(t('full'), 'warn') : badge(t('takes members'), 'good') },
    { title: t('Sessions'), isNumber: true, cell: (node) => number(node.Sessions) },
    { title: t('Capacity'), cell: (node) => bar(node.Sessions / Math.max(1, node.Capacity), t('Sessions of {0} out of {1}', node.Node, number(node.Capacity))) },
    { title: t('Load'), cell: (node) => bar(node.LoadPercent / 100, t('Load of {0}', node.Node)) },
  ], (node) => node.Node, () => empty(t('No node forwards media'), t('Start a process with `rotunda serve --roles sfu`.')));
  const mixing = new Table<MixNode>(t('Nodes that mix'), [
    { title: t('Node'), cell: (node) => h('strong', {}, node.Node) },
    { title: t('Mixes that it takes more'), isNumber: true, cell: (node) => number(node.TasksLeft) },
    { title: t('CPU cores that are left'), isNumber: true, cell: (node) => number(node.MillicoresLeft / 1000, 2) },
  ], (node) => node.Node, () => empty(t('No node mixes'), t('Start a process with `rotunda serve --roles mcu`.')));
  context.follow(async () => {
    const found = await context.api.call<NodeList>('ListNodes');
    sfu.update(found.SfuNodes);
    mixing.update(found.MixNodes);
  }, error);
  return page(t('Nodes'), '', error, card(t('Nodes that forward media'), sfu.element), card(t('Nodes that mix'), mixing.element));
};
