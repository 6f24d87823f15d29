/** The words of the method, each explained once. */

/** By word, in an order in which none is used before it is explained, other than as plain English. */
export const terms: Readonly<Record<string, string>> = {
  task:
    "problems with answers that can be checked. They are divided into problems to train on, to choose steps by (validation), " +
    "and to measure at the end (test).",
  trace:
    "what the model writes for a problem, token by token. The greedy trace always takes the likeliest token; a sample draws.",
  pivot:
    "the token at which a right and a wrong trace of the same problem part, all before it being equal. The token of the " +
    "right trace is the desired one, that of the wrong trace the undesired one.",
  example:
    "a localization example: a problem with its trace up to a pivot, the desired and the undesired token.",
  component:
    "what is switched on and off, or strengthened: a query, key or value head of a layer's attention, or one neuron of " +
    "its MLP.",
  mask:
    "a number between 0 and 1 for each component, whose output is multiplied by twice that: 1 doubles it, 0.5 leaves it " +
    "alone, 0 removes it. Trained on the examples, masks show which components decide between desired and undesired tokens.",
  selection:
    "which components are chosen: by a mask, or, by default, by how much gradient they have for their size.",
  circuit: "the selected components, taken together: what is said to decide the task.",
  budget: "how much may be selected: components (40), a share of them (1.6%), or parameters (20000p, 1%p).",
  update: "a few optimizer steps on the examples that move the circuit's weights and no others.",
  round: "fresh problems, traced by the model as it is by then, between two steps of an update.",
  ability: "another task that is watched, so that a gain here is not a loss there.",
  arm: "one updated model: the circuit's own, or a control's.",
  control:
    "the same update of something else, such as as many random parameters. What a control gains too, the circuit does " +
    "not explain.",
  patch:
    "the difference that an update makes to the weights, as a file. It can be applied, undone, scaled, merged and fused.",
  "run folder": "where a run leaves all of this; the same command on it goes on where it was.",
};
