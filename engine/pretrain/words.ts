/** The closed word lists that exercises are made of. */

export const names: readonly string[] = "Amy Ann Ben Bob Dan Eva Ivy Joe Kim Leo Max Mia Sam Sue Tom Zoe"
  .split(" ");

export const items: readonly string[] = "apples beads books cards coins cups eggs keys pens shells".split(
  " ",
);

/** Invented places, of each of which one fact of every kind is made up. */
export const places: readonly string[] =
  "Aro Bel Cor Dun Ern Fal Gim Hol Ist Jor Kel Lum Mor Nub Orr Pal Quo Rin Sol Tar Umb Vel Wex Zin".split(
    " ",
  );

/** What a fact can say, by kind. */
export const factValues: Readonly<Record<string, readonly string[]>> = {
  color: "black blue gold gray green pink red white".split(" "),
  food: "beans bread cake corn milk rice soup".split(" "),
  river: "Ebro Indo Nilo Oder Rona Temo Ural".split(" "),
};

export const ordinals = ["first", "second", "third"] as const;
