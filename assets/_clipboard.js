/* Words to hand on: into the clipboard, or shown where the browser refuses it; commands to copy.

   pyrometer.clipboard.write(text, {done, what, detail})  says `done`, or that `what` must be taken by hand
   pyrometer.command.quoted(text)                         an argument of a POSIX shell
   pyrometer.command.line(text)                           {node, code}: a command with its button */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const PLAIN = /^[\w./:,@%+=-]+$/;

  async function write(text, { done, what, detail = text }) {
    try {
      await navigator.clipboard.writeText(text);
      pyrometer.toast("ok", done, detail);
    } catch (refused) {
      pyrometer.toast("warning", `The browser refuses the clipboard; ${what}`, text);
    }
  }

  const quoted = (text) => (PLAIN.test(text) ? text : `'${String(text).replace(/'/g, `'\\''`)}'`);

  function line(text = "") {
    const code = element("code", "", text);
    const button = element("button", "chip", "Copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch (refused) {
        getSelection().selectAllChildren(code); // ready for Ctrl-C
        button.textContent = "Selected";
      }
    });
    return { node: element("div", "curl", [code, button]), code };
  }

  pyrometer.clipboard = { write };
  pyrometer.command = { quoted, line };
})();
