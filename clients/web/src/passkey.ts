/** Passkeys in this browser. What is sent and got is the JSON form of WebAuthn level 3. */

type Options = Record<string, unknown>

/** The person closed the browser's dialog, or the device said no. */
export class PasskeyGivenUp extends Error {}

export function knowsPasskeys(): boolean {
  return typeof PublicKeyCredential !== 'undefined' && 'parseRequestOptionsFromJSON' in PublicKeyCredential
}

/** Sign a challenge with a passkey that this device has. */
export async function usePasskey(options: Options): Promise<unknown> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options as unknown as PublicKeyCredentialRequestOptionsJSON)
  return asJson(await asked(() => navigator.credentials.get({ publicKey })))
}

/** Make a new one. */
export async function makePasskey(options: Options): Promise<unknown> {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options as unknown as PublicKeyCredentialCreationOptionsJSON)
  return asJson(await asked(() => navigator.credentials.create({ publicKey })))
}

async function asked(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const credential = await ask()
    if (credential) return credential as PublicKeyCredential
  } catch (error) {
    if (error instanceof DOMException && error.name === 'InvalidStateError') {
      throw new PasskeyGivenUp('This device has a passkey for this account already.')
    }
    if (error instanceof DOMException && error.name === 'SecurityError') {
      throw new PasskeyGivenUp('Passkeys do not work at this address.')
    }
  }
  throw new PasskeyGivenUp('No passkey was used. You can try again.')
}

function asJson(credential: PublicKeyCredential): unknown {
  return credential.toJSON()
}
