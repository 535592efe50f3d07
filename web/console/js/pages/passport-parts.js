// What the list of passports and the page of one have in common.

import { revokePassport } from "../tracker.js";
import { button, tellUndone } from "../ui.js";

export const STATUS = { active: ["good", "Active"], expired: ["quiet", "Expired"], revoked: ["bad", "Revoked"] };

/** A button that revokes at once, and says what became of it where that did not go well. */
export function revoker(one, again, attributes = { class: "small danger" }) {
  const made = button(
    "Revoke",
    async () => {
      made.disabled = true;
      try {
        await revokePassport(one.passport_id, one.issuer_id);
      } catch (error) {
        made.disabled = false;
        tellUndone("It is not revoked", error, again);
        return;
      }
      again();
    },
    { "aria-label": `Revoke ${one.passport_id}`, ...attributes },
  );
  return made;
}
