// Softmax, alone or with cross-entropy behind it: then the gradient of the two together is p - t.
"use strict";

views.softmax = {
  explain({ stage, direction, letters }, side, [k]) {
    const { x, y, dx, dy } = stage;
    const { t } = stage.others;
    const [xName, yName] = letters;
    const classes = x.channels;
    const most = Math.max(...classes.map((q) => x.at(q)));
    const power = (q) => Math.exp(x.at(q) - most);
    const sum = total(classes.map(power));
    const forward = direction === "forward";
    const d = forward ? "" : "d";
    const heads = forward
      ? ["", xName, `exp(${xName} - m)`, `${yName} = p`]
      : ["", "p", t ? "t" : `d${yName}`, t ? `d${xName} = p - t` : `d${xName}`];
    const rows = classes.map((q) => ({
      chosen: q === k,
      cells: forward
        ? [className(q), x.at(q), power(q), y.at(q)]
        : [className(q), y.at(q), t ? t.at(q) : dy ? dy.at(q) : "", dx.at(q)],
    }));
    const tensor = stage[d + side];
    const body = [];
    if (forward) {
      body.push(
        line(
          `${at(yName, [k])} = exp(${shown(x.at(k))} - ${signed(most)}) / ${shown(sum)} = ` +
            shown(y.at(k))
        )
      );
      if (content.model.backward && t) {
        const label = classes.find((q) => t.at(q) === 1);
        body.push(
          line(
            (label === undefined ? "L = -sum of t log p" : `L = -log p[${label}]`) +
              ` = ${shown(content.model.loss)}`
          )
        );
      }
    } else if (t) {
      body.push(
        say(
          "Softmax and cross-entropy are taken together: the loss looks at the scores, and its ",
          "gradient is what the model says less what is right."
        ),
        line(
          `${at(`d${xName}`, [k])} = p[${k}] - t[${k}] = ${shown(y.at(k))} - ${shown(t.at(k))} = ` +
            shown(dx.at(k))
        )
      );
    } else if (stage.settings.with_loss) {
      body.push(say(`${content.model.loss_name} takes the scores, and gives d${xName} at once.`));
    } else {
      body.push(
        line(
          `${at(`d${xName}`, [k])} = ${yName}[${k}] * (d${yName}[${k}] - sum over q of ` +
            `d${yName}[q] ${yName}[q]) = ${shown(dx.at(k))}`
        )
      );
    }
    body.push(table(heads, rows));
    return {
      marks: { x: [[k]], y: [[k]] },
      name: at(d + (side === "x" ? xName : yName), [k]),
      value: tensor ? tensor.at(k) : undefined,
      body,
    };
  },
};
