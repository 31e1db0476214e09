// The optional module for end-to-end encryption; see docs/sdk.md.

export { Encryption, canEncrypt, keyOfPassphrase, type FrameState } from './encryption';
