// BatchNormalization: mean and variance of each channel are those of the pass, of the whole batch
// in training, the running ones otherwise. The page holds one image, so what sums over the batch
// comes from the layer.
"use strict";

views.normalization = {
  sameChannel: true,

  explain({ stage, direction, letters }, side, index) {
    const c = index.at(-1);
    const { mean, var: variance, gamma, beta, dgamma, dbeta } = stage.others;
    const { epsilon, m, of_batch: ofBatch, N } = stage.settings;
    const [xName, yName] = letters;
    const x = stage.x.at(...index);
    const root = Math.sqrt(variance.at(c) + epsilon);
    const hat = (x - mean.at(c)) / root;
    const here = { x: [index], y: [index] };
    const whence = ofBatch
      ? `Mean and variance are those of the ${m} numbers of channel ${c} in this batch ` +
        `(${N} ${N === 1 ? "image" : "images"}).`
      : `Inference: mean and variance of channel ${c} are the running ones, which training kept.`;
    const start = [
      say(whence),
      table(
        ["mean", "var", "epsilon", "gamma", "beta"],
        [[mean.at(c), variance.at(c), epsilon, gamma.at(c), beta.at(c)]]
      ),
      line(
        `x_hat = (${shown(x)} - ${signed(mean.at(c))}) / sqrt(${shown(variance.at(c))} + ` +
          `${shown(epsilon)}) = ${shown(hat)}`
      ),
    ];
    if (direction === "forward") {
      const y = stage.y.at(...index);
      return {
        marks: here,
        name: at(side === "x" ? xName : yName, index),
        value: side === "x" ? x : y,
        body: [
          ...start,
          line(
            `${at(yName, index)} = gamma * x_hat + beta = ${shown(gamma.at(c))} * ` +
              `${signed(hat)} + ${signed(beta.at(c))} = ${shown(y)}`
          ),
        ],
      };
    }
    const [dx, dy] = [stage.dx.at(...index), stage.dy.at(...index)];
    const dHat = gamma.at(c) * dy;
    const meanOf = (gamma.at(c) * dbeta.at(c)) / m;
    const meanWith = (gamma.at(c) * dgamma.at(c)) / m;
    return {
      marks: here,
      name: at(side === "x" ? `d${xName}` : `d${yName}`, index),
      value: side === "x" ? dx : dy,
      body: [
        ...start,
        line(`dx_hat = gamma * d${yName} = ${shown(gamma.at(c))} * ${signed(dy)} = ${shown(dHat)}`),
        ...(ofBatch
          ? [
              say(
                "Mean and variance depend on every number of the channel, and each of them gets a ",
                "gradient that way, too: the two terms that are taken off."
              ),
              line(
                `${at(`d${xName}`, index)} = (dx_hat - mean of dx_hat - x_hat * mean of dx_hat * ` +
                  "x_hat) / sqrt(var + epsilon)"
              ),
              line(
                `= (${shown(dHat)} - ${signed(meanOf)} - ${signed(hat)} * ${signed(meanWith)}) / ` +
                  `${shown(root)} = ${shown(dx)}`
              ),
            ]
          : [
              say("Mean and variance are constants here, so only the scale comes back."),
              line(`${at(`d${xName}`, index)} = ${shown(dHat)} / ${shown(root)} = ${shown(dx)}`),
            ]),
        line(
          `dgamma[${c}] = ${shown(dgamma.at(c))}, dbeta[${c}] = ${shown(dbeta.at(c))}` +
            (N > 1 ? `, over all ${N} images` : "")
        ),
      ],
    };
  },
};
