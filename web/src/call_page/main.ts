// The page of calls: two people with this page call each other. ?user=ann&auto=1&lang=en|zh&timeout=5&sdkAppId=…&userSig=…

import '../style.css';
import './call_page.css';
import { RotundaCall } from '../call/element';
import type { CallType } from '../call/types';
import { credentials } from '../demo/api';
import { find } from '../demo/find';
import { RotundaError } from '../sdk/types';
import { languageOf, text, translate } from './texts';

const parameters = new URLSearchParams(location.search);
const language = languageOf([parameters.get('lang'), ...navigator.languages]);
const call = find('#call', RotundaCall);
const user = find('#user', HTMLInputElement);
const message = find('#message', HTMLElement);
const timeout = parameters.has('timeout') ? Number(parameters.get('timeout')) : undefined;

async function login(): Promise<void> {
  const userID = user.value;
  const [sdkAppId, userSig] = [Number(parameters.get('sdkAppId')), parameters.get('userSig')];
  const ticket = sdkAppId && userSig ? { sdkAppId, userSig } : await credentials(userID);
  await call.init({ sdkAppID: ticket.sdkAppId, userID, userSig: ticket.userSig });
  find('#login', HTMLElement).hidden = true;
  find('#phone', HTMLElement).hidden = false;
  find('#me', HTMLElement).textContent = text(language, 'reachable', userID);
}

async function dial(event: SubmitEvent): Promise<void> {
  const type = Number((event.submitter as HTMLButtonElement | null)?.value ?? 2) as CallType;
  const names = find('#callee', HTMLInputElement).value.split(/[\s,，]+/).filter(Boolean);
  const [userID] = names;
  if (names.length > 1) await call.groupCall({ userIDList: names, type, groupID: parameters.get('group') ?? undefined, timeout });
  else if (userID) await call.call({ userID, type, timeout });
}

function onSubmit(form: string, work: (event: SubmitEvent) => Promise<void>): void {
  find(form, HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    message.textContent = '';
    work(event).catch((error: unknown) => {
      message.textContent = error instanceof RotundaError && language === 'zh' ? text('zh', 'failed', error.code) : error instanceof Error ? error.message : String(error);
    });
  };
}

/** The newest events of calls, below the form. */
function log(line: string): void {
  const list = find('#log', HTMLElement);
  list.prepend(Object.assign(document.createElement('li'), { textContent: line }));
  while (list.children.length > 5) list.lastElementChild?.remove();
}

call.lang = language;
document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
translate(language);
user.value = parameters.get('user') ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
onSubmit('#login', login);
onSubmit('#dial', dial);
onSubmit('#profile', () => call.setSelfInfo(find('#nickname', HTMLInputElement).value));
call.on('onCallEnd', ({ message: reason, totalTime }) => log(text(language, 'ended', text(language, reason), totalTime)));
call.on('onMissedCalls', (missed) => {
  for (const { inviter, atMs } of missed) log(text(language, 'missed', inviter, new Date(atMs).toLocaleString(language)));
});
if (parameters.get('auto') === '1') find('#login', HTMLFormElement).requestSubmit();
