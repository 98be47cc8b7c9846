#pragma once
/// What golden cases of ALBEF's kin have in common: a model out of a case's configuration and weights, and what comes of it.

#include <memory>

#include "vlm/golden/case.h"
#include "vlm/models/albef/albef.h"

namespace vlm::golden {

/// The configuration of a case for a task, with what its weights tell.
AlbefConfig albef_config(const Case& c, AlbefTask task);

/// A model with the weights of a case. All of the model's weights must be there, except for those below one of `absent`; cases hold
/// more than their kind looks at, which is passed over. Copies: a step changes them.
std::unique_ptr<AlbefModel> albef_model(const Case& c, AlbefTask task, const std::vector<std::string>& absent = {});

template <class M>
std::unique_ptr<M> albef_model_of(const Case& c, AlbefTask task, const std::vector<std::string>& absent = {}) {
  return std::unique_ptr<M>(static_cast<M*>(albef_model(c, task, absent).release()));
}

/// The inputs named so, as leaves that want gradients where the case compares them.
Tensor wanted_leaf(const Case& c, const std::string& name);
/// "grad.NAME" of the weights and of leaves, 0 where the loss does not reach, and "out.state.NAME". Weights are those of the case, by
/// either of their names.
void set_model_results(Result& result, const Case& c, const std::vector<NamedTensor>& weights, const std::map<std::string, Tensor>& leaves = {});

}  // namespace vlm::golden
