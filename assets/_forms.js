/* Inputs of a page's form: Dash has no plain ones, so they are made here, once.

   pyrometer.forms.inputOf(label, id)  the input of a label of components/forms.py: the select that
     it holds, or one made for its kind (number | percent | text | flag)
   pyrometer.forms.valueOf(input)      its text without spaces around it; "1" or "" of a flag */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element } = pyrometer.dom;
  const TYPES = { flag: "checkbox", text: "text", number: "number", percent: "number" };

  function inputOf(label, id) {
    const { kind } = label.dataset;
    if (kind === "choice") return byId(id);
    const input = element("input", "form-input");
    input.id = id;
    input.type = TYPES[kind];
    input.autocomplete = "off";
    if (input.type === "number") input.step = "any";
    if (kind === "text") input.spellcheck = false;
    if (kind === "flag") label.prepend(input);
    else label.append(input);
    return input;
  }

  const valueOf = (input) => (input.type === "checkbox" ? (input.checked ? "1" : "") : input.value.trim());

  pyrometer.forms = { inputOf, valueOf };
})();
