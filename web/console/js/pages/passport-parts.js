// What the list of passports and the page of one have in common.

import { revokePassport } from "../tracker.js";
import { button, dialog, failed } from "../ui.js";

export const STATUS = { active: ["good", "Active"], expired: ["quiet", "Expired"], revoked: ["bad", "Revoked"] };

/** A button that revokes at once, and says where it failed. */
export function revoker(one, again, attributes = { class: "small danger" }) {
  const made = button(
    "Revoke",
    async () => {
      made.disabled = true;
      try {
        await revokePassport(one.passport_id, one.issuer_id);
        again();
      } catch (error) {
        made.disabled = false;
        dialog("It is not revoked", failed(error));
      }
    },
    { "aria-label": `Revoke ${one.passport_id}`, ...attributes },
  );
  return made;
}
